"""Brings the orders of a marketplace into the books, in the public format of Olist's Brazilian data set.

read       the files, row by row: what cannot be understood is listed, nothing else is lost
mapping    what an order means here: ordinary commands, with ids and keys that follow from the order
run        sends them through the batch lane; a repeated or interrupted run changes nothing twice
books      asks the company's books what they now say
reconcile  lays source and books side by side, to the centavo
"""
