-- Every transaction that has an id, and every customer, with the reasons for not being accepted, comma-separated.
WITH judged AS (
  SELECT t.txn_id, t.customer_id, t.product_id, t.qty, t.amount, t.txn_timestamp,
    CAST(COALESCE(p.category, '') AS BINARY) AS category,
    t.amount <> t.qty * p.price AS mismatch,
    CONCAT_WS(',',
      CASE WHEN d.txn_id IS NOT NULL THEN 'duplicate_id' END,
      CASE WHEN c.customer_id IS NULL THEN 'unknown_customer' END,
      CASE WHEN p.product_id IS NULL THEN 'unknown_product' END,
      CASE WHEN COALESCE(t.qty, 0) <= 0 THEN 'non_positive_qty' END,
      CASE WHEN COALESCE(t.amount, 0) <= 0 THEN 'non_positive_amount' END,
      CASE WHEN COALESCE(UNIX_TIMESTAMP(t.txn_timestamp), 0) = 0 THEN 'invalid_timestamp' END,
      CASE WHEN @strict AND t.amount <> t.qty * p.price THEN 'amount_mismatch' END) AS reasons
  FROM transactions t
  LEFT JOIN (SELECT txn_id FROM transactions GROUP BY txn_id HAVING COUNT(*) > 1) d ON d.txn_id = t.txn_id
  LEFT JOIN (SELECT DISTINCT customer_id FROM customers) c ON c.customer_id = t.customer_id
  LEFT JOIN products p ON p.product_id = t.product_id
  WHERE t.txn_id IS NOT NULL),
accepted AS (SELECT * FROM judged WHERE reasons = ''),
people AS (
  SELECT customer_id, name, email, gender, signup_date,
    CONCAT_WS(',',
      CASE WHEN COUNT(*) OVER (PARTITION BY customer_id) > 1 THEN 'duplicate_id' END,
      CASE WHEN email IS NULL OR email REGEXP '[[:space:][:cntrl:]]'
        OR NOT email REGEXP '^[^@]+@[^@.]+([.][^@.]+)+$' THEN 'invalid_email' END,
      CASE WHEN gender IS NULL OR CAST(gender AS BINARY) NOT IN ('M', 'F', 'O') THEN 'invalid_gender' END,
      CASE WHEN MONTH(signup_date) = 0 OR DAYOFMONTH(signup_date) = 0 THEN 'invalid_signup_date' END) AS reasons
  FROM customers
  WHERE customer_id IS NOT NULL)
