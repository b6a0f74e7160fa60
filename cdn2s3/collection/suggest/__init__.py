"""What collect_urls.py --suggest proposes: settings for an API or an export, from one page or the head of a file.

May import the rest of collection and below. Begin with proposal.py (what a proposal is), then api_lines.py.
"""
