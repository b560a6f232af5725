"""One module for each published client. Every driver has some of these functions; all get the server's URL first.

- ``run(url, workflow, folder)``: submit, wait in the client's own way, return the pictures as bytes
- ``upload(url, path, folder)``: returns the value for a node that loads the picture
- ``interrupt(url, argument, folder)``: stop what runs
- ``read(url, prompt_id, folder)``: what the client reads of the server, by name
"""
