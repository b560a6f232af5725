raise SystemExit("never loaded")
