"""python train.py --config whales.yaml [--resume last] [key=value ...]"""

from flukeprint.cli import run_command, train_command

if __name__ == "__main__":
    run_command(train_command)
