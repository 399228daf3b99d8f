"""Tells webhooks what happened: who is to be told, when to try, and how to call an address of a stranger.

fan_out      an event comes from the broker: one delivery for every webhook that wants it
deliveries   what is to be delivered, and what came of it; in PostgreSQL, shared by all couriers
courier      takes what is due, calls, writes down what came of it
calling      one call, to an address that was checked and to no other
"""
