"""The microkernel of comfykernel: configuration, plugins, catalog, validation, engine, jobs, command line."""
