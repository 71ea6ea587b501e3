"""Judges that take no part in training, and the report that puts their figures beside the recordings' own."""
