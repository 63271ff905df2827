"""What can be done where a database does not go on from what was released.

``diagnosis``  what guard and database say, log by log; changes nothing
``ways_out``   accepting a database, and a successor in the place of a log
"""
