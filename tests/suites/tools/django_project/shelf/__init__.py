"""An application with what applications have: keys, choices, many-to-many, json, constraints."""
