"""`actctl doctor`: looks at all that a tower needs, and says what is wrong and what to do. Changes nothing."""
