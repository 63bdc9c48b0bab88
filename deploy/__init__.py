"""The deployment: builds the stack on any AWS endpoint, and converges.

``stack`` holds the order of the build. Every other module is one kind of resource, with an
``ensure`` function that creates what is missing, updates what differs and leaves the rest.
It needs Python 3.11 and boto3, both of which the engines' images have.
"""
