"""The deployment: builds the stack on any AWS endpoint, and converges.

``build`` has the order of the build. ``resources`` has a module for each kind of resource, which
makes and removes it. All of it needs Python 3.11 and boto3 alone, which the engines' images have.
"""
