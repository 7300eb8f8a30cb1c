"""Speed, memory and scaling, each stage by itself and all together."""
