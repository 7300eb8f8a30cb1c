"""python train.py --config whales.yaml [--resume last] [key=value ...]"""

from flukeprint.cli import run_door, train_door

if __name__ == "__main__":
    run_door(train_door)
