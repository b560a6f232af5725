"""Parts of UNets and autoencoders."""
