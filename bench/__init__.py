"""Measurements. Each says what it does, prints a table and writes JSON; nothing here is a test."""
