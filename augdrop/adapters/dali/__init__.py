"""DALI: any AugDrop transform as a stage of a pipeline, or between calls of dynamic mode."""
