"""The logs of many nodes as one: read line by line, put into one order, filtered."""
