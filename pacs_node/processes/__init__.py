"""What runs: `serve` receives and sweeps, `work` runs the steps, `up` runs both with Triton and looks after them."""
