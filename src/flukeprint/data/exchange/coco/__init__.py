"""COCO with the keys of camera traps and of Wild Me, read and written."""
