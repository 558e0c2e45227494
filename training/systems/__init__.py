"""The five published systems and their baselines: each one recipe file, made of networks, losses and data."""
