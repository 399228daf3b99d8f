"""Answers: tables, Redis views and the questions asked of them. Disposable with their projections."""
