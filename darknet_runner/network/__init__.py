"""Networks as files: cfg and weights, what each layer computes, and what can be made of them."""
