"""The run folder: config, metrics, checkpoints and summary, each whole on the disk or not there at all."""
