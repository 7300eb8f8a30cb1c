"""python infer.py --config whales.yaml [--run NAME] [key=value ...]"""

from flukeprint.cli import infer_door, run_door

if __name__ == "__main__":
    run_door(infer_door)
