"""What leaves the company's books: integration events, brokers, the relay, and those who consume.

Nothing inside the house may import this room, so neither a command nor a projection can ever send anything:
a rebuild is silent. See `broker.py` for how to consume.
"""
