"""What a worker does with a chunk, stage by stage; `pipeline.worker` is where they meet."""
