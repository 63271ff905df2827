"""From what a submitter or provider sends to validated events.

``event``        the event model; JSON in, validated events out
``data_members`` the members of an event's data and their shapes
``problems``     how intake says what is wrong
``numbers``      where a number stands that would not be kept as it was sent
``times``        RFC 3339 in, canonical UTC milliseconds out
``records``      cuts many records out of one body, byte for byte
``cloudevents``  HTTP bodies in the forms of CloudEvents 1.0
``members``      splits an event into the members and labels of its entry
``secrets``      cuts secrets out of providers' records before anything sees them
``connectors``   turn providers' own formats into events

Nothing here does I/O, reads a clock or makes randomness.
"""
