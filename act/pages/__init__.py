"""The pages for operators, as text. A page is a model, read from one snapshot and frozen, and a template that shows it.

To add one: a module with a function (connection, moment, ...) -> model, a template that extends ``base.html`` and is
given the model as ``m``, and a route in `act.web`. Nothing here knows Flask.
"""
