"""What a run asked and was answered, on disk, so that it can be resumed or replayed; sends nothing itself."""
