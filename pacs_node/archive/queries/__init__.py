"""All SQL, one module per subject. Functions of an open transaction; they decide nothing."""
