"""From a run and test photographs to a submission CSV, and to Kaggle."""
