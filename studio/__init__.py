"""The studio: videos segmented by clicks over HTTP; `task=studio`."""
