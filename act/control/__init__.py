"""What operators do: to jobs, and to the places and people that jobs belong to."""
