"""Engines: how the devices of a run share the work and the model."""
