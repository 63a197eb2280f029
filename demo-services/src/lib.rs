//! Services whose clients protect themselves: homepage, authentication, recommendations, popular items.
