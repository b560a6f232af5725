// hyphen
