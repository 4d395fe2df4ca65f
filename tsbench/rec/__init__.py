"""All that is of recommendation only: interactions, histories, measures of a ranking, Rec-IDs and how they are made."""
