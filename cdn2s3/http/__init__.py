"""HTTP/1.1 over pooled connections, on which every wait ends at a deadline or when the run stops.

May import the ground floor only. Begin with deadline.py, then pool.py, then connection.py. What comes
before a connection: resolver.py, happy_eyeballs.py and dialing.py, proxies.py and tunnel.py, trust.py.
"""
