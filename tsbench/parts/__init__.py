"""Parts that models of several families are built of."""
