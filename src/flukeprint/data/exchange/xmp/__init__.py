"""XMP keywords, as Lightroom, digiKam and others write them, read and written."""
