"""Tables and files made from the results."""
