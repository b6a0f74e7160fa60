"""The JSON API as a source of URLs: the requests, the styles of pagination, where a page has its URLs.

May import the room collection's own ground (base.py) and what collection may. Begin with json_api.py.
"""
