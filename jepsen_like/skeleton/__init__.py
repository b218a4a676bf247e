"""What `jepsen-like new adapter NAME` writes, with another name: files that run as they stand."""
