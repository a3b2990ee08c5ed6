-- A source that keeps none of its promises: no keys, everything null, zero dates, broken references.
CREATE TABLE customers (customer_id INT, name VARCHAR(100), email VARCHAR(150), gender VARCHAR(10), signup_date DATE);
CREATE TABLE products (product_id INT, name VARCHAR(150), category VARCHAR(50), price DECIMAL(10,2));
CREATE TABLE transactions (txn_id BIGINT, customer_id INT, product_id INT, qty INT, amount DECIMAL(10,2),
  txn_timestamp TIMESTAMP(6) NULL DEFAULT NULL);

INSERT INTO customers VALUES
  (1, 'Plain', 'plain@example.com', 'F', '2020-02-29'),
  (2, 'Zoë 🦀🎉 𝔘𝔫𝔦', 'zoë🎉@exämple.de', 'O', '2021-01-01'),
  (3, NULL, 'nameless@example.com', 'M', NULL),
  (4, 'Zero date', 'zero@example.com', 'M', '0000-00-00'),
  (5, 'Null email', NULL, 'F', '2021-01-01'),
  (6, 'Bad email', 'not-an-address', 'F', '2021-01-01'),
  (7, 'Null gender', 'seven@example.com', NULL, '2021-01-01'),
  (8, 'Lower-case gender', 'eight@example.com', 'm', '2021-01-01'),
  (9, 'Everything', '', 'X', '2021-00-15'),
  (10, 'Twin', 'twin@example.com', 'F', '2021-01-01'),
  (10, 'Twin', 'twin@example.com', 'F', '2021-01-01'),
  (11, 'Other twin', 'other@example.com', 'M', '2021-01-01'),
  (11, 'Other twin', 'other', 'M', '2021-01-01'),
  (12, 'Only rejected transactions', 'twelve@example.com', 'M', '2021-01-01'),
  (13, 'No transactions', 'thirteen@example.com', 'M', '2021-01-01'),
  (14, '', 'ties@example.com', 'O', '2021-01-01'),
  (15, 'Halves', 'halves@example.com', 'F', '2021-01-01'),
  (16, 'Huge', 'huge@example.com', 'F', '2021-01-01'),
  (17, 'Line break', 'seventeen@example.com\n', 'F', '2021-01-01'),
  (18, 'No dot', 'a@b', 'F', '2021-01-01'),
  (19, 'Two ats', 'a@b@c.d', 'F', '2021-01-01'),
  (20, 'Blank', 'a b@c.d', 'F', '2021-01-01'),
  (0, 'Zero id', 'zero-id@example.com', 'F', '2021-01-01'),
  (-5, 'Negative id', 'negative@example.com', 'F', '2021-01-01'),
  (2147483647, 'Highest id', 'highest@example.com', 'M', '2021-01-01'),
  (NULL, 'No id', 'none@example.com', 'F', '2021-01-01'),
  (NULL, 'No id either', 'none@example.com', 'F', '2021-01-01');

INSERT INTO products VALUES
  (1, 'Book', 'Books', 10.00), (2, 'Toy', 'Toys', 5.50), (3, 'Spade', 'Garden', 2.00), (4, 'Thing', NULL, 1.00),
  (5, 'Booklet', 'books', 3.00), (6, 'Priceless', 'Toys', NULL), (7, 'Ärgernis', 'Ärger', 1.00),
  (8, 'Crab', '🦀', 1.00), (NULL, 'No id', 'Toys', 1.00);

-- The bulk: three customers, ids with gaps, five dates.
INSERT INTO transactions
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
  SELECT 1000 + 3 * i, 1 + i % 3, 1 + i % 8, 1 + i % 4, (1 + i % 97) * 1.37, TIMESTAMP '2024-03-01 00:00:00' + INTERVAL 17 * i MINUTE
  FROM n;

-- Single reasons, and several at once.
INSERT INTO transactions VALUES
  (NULL, 1, 1, 1, 10.00, '2024-03-01 10:00:00'), (NULL, 2, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (11, NULL, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (12, 999, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (13, 1, NULL, 1, 10.00, '2024-03-01 10:00:00'),
  (14, 1, 999, 1, 10.00, '2024-03-01 10:00:00'),
  (15, 1, 1, NULL, 10.00, '2024-03-01 10:00:00'),
  (16, 1, 1, 0, 10.00, '2024-03-01 10:00:00'),
  (17, 1, 1, -3, 10.00, '2024-03-01 10:00:00'),
  (18, 1, 1, 1, NULL, '2024-03-01 10:00:00'),
  (19, 1, 1, 1, 0.00, '2024-03-01 10:00:00'),
  (20, 1, 1, 1, -10.00, '2024-03-01 10:00:00'),
  (21, 1, 1, 1, 10.00, NULL),
  (22, 1, 1, 1, 10.00, '0000-00-00 00:00:00'),
  (23, NULL, NULL, NULL, NULL, NULL),
  (24, 999, 999, 0, -1.00, '0000-00-00 00:00:00'),
  (25, 1, 1, 0, 0.00, '2024-03-01 10:00:00'),
-- The same id twice: for one customer, for two, with another fault in one of them, three times.
  (30, 1, 1, 1, 10.00, '2024-03-01 10:00:00'), (30, 1, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (31, 1, 1, 1, 10.00, '2024-03-02 10:00:00'), (31, 2, 2, 1, 5.50, '2024-03-03 10:00:00'),
  (32, 1, 1, 1, 10.00, '2024-03-01 10:00:00'), (32, 1, 999, 1, 10.00, '2024-03-01 10:00:00'),
  (33, 3, 999, 1, 10.00, '2024-03-01 10:00:00'), (33, 3, 1, 0, 10.00, '2024-03-01 10:00:00'),
  (33, 3, 1, 1, 10.00, '2024-03-01 10:00:00'),
-- A customer with nothing but rejected transactions, on a date of its own.
  (40, 12, 1, 0, 10.00, '2024-04-01 10:00:00'), (41, 12, 999, 1, 10.00, '2024-04-01 10:00:00'),
-- Customers whose own row is not accepted.
  (50, 4, 1, 1, 10.00, '2024-03-01 10:00:00'), (51, 5, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (52, 6, 1, 1, 10.00, '2024-03-01 10:00:00'), (53, 7, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (54, 8, 1, 1, 10.00, '2024-03-01 10:00:00'), (55, 9, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (56, 10, 1, 1, 10.00, '2024-03-01 10:00:00'), (57, 11, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (58, 17, 1, 1, 10.00, '2024-03-01 10:00:00'), (59, 18, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (60, 19, 1, 1, 10.00, '2024-03-01 10:00:00'), (61, 20, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (62, 0, 1, 1, 10.00, '2024-03-01 10:00:00'), (63, -5, 1, 1, 10.00, '2024-03-01 10:00:00'),
  (64, 2147483647, 1, 1, 10.00, '2024-03-01 10:00:00'),
-- Ties between categories: Books before Garden before Toys before books before Ärger; the nameless before all.
  (70, 14, 2, 2, 11.00, '2024-03-05 23:59:59.999999'), (71, 14, 3, 2, 4.00, '2024-03-05 12:00:00'),
  (72, 14, 5, 1, 3.00, '2024-03-06 00:00:00'), (73, 14, 7, 1, 1.00, '2024-03-06 00:00:00.000001'),
  (74, 14, 8, 3, 3.00, '2024-03-07 00:00:00'), (75, 14, 4, 3, 3.00, '2024-03-07 01:00:00'),
  (76, 14, 4, 1, 1.00, '2024-03-08 01:00:00'), (77, 14, 3, 1, 2.00, '2024-03-08 01:00:00'),
  (78, 14, 2, 1, 5.50, '2024-03-08 01:00:00'), (79, 14, 2, 1, 5.50, '2024-03-08 01:00:00'),
-- An average with a half: 0.25 / 2 = 0.125; and one a hair below: 100.01 over 3 rows is 33.336…
  (80, 15, 1, 1, 0.12, '1970-01-01 00:00:01.001999'), (81, 15, 1, 1, 0.13, '2038-01-19 03:14:07'),
-- The largest amounts there are; sums that a double would round.
  (90, 16, 1, 1, 99999999.99, '2024-03-01 10:00:00'), (91, 16, 1, 1, 99999999.99, '2024-03-01 10:00:00'),
  (92, 16, 1, 2147483000, 0.01, '2024-03-01 10:00:00'), (93, 16, 2, 5, 0.10, '2024-03-01 10:00:00'),
  (94, 16, 2, 5, 0.20, '2024-03-01 10:00:00');
