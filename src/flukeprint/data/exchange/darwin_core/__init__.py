"""Darwin Core Archives, the form of GBIF and iNaturalist, read and written."""
