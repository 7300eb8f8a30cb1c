"""python infer.py --config whales.yaml [--run NAME ...] [key=value ...]"""

from flukeprint.cli import infer_command, run_command

if __name__ == "__main__":
    run_command(infer_command)
