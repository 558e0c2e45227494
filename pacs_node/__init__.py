"""The clinical node: DICOM in, state, rules, jobs, DICOM out."""
