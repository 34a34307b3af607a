"""What is watched and where it is told: NVML, host, console, W&B."""
