"""OHIF and its libraries in Node.js, for `tests.support.ohif` and `test_adapters`; and pictures of it (`__main__`)."""
