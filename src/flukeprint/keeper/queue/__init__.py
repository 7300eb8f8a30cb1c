"""A queue of uploaded photographs that several people decide, no two of them the same one."""
