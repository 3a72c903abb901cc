import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, GetCommand, PutCommand, ScanCommand, UpdateCommand } from "@aws-sdk/lib-dynamodb";

const TableName = process.env.TABLE_NAME;
const client = DynamoDBDocumentClient.from(new DynamoDBClient());

const firstNotes = [
  { id: "id1", content: "Hello World!" },
  { id: "id2", content: "Edit a handler in src/, save it, and call it again." },
];

export async function listNotes() {
  const { Items } = await client.send(new ScanCommand({ TableName }));
  if (Items.length > 0) return Items.sort((a, b) => a.id.localeCompare(b.id));
  for (const Item of firstNotes) await client.send(new PutCommand({ TableName, Item }));
  return firstNotes;
}

export async function getNote(id) {
  const { Item } = await client.send(new GetCommand({ TableName, Key: { id } }));
  return Item;
}

export async function updateNote(id, content) {
  const { Attributes } = await client.send(
    new UpdateCommand({
      TableName,
      Key: { id },
      UpdateExpression: "SET content = :content",
      ExpressionAttributeValues: { ":content": content },
      ReturnValues: "ALL_NEW",
    }),
  );
  return Attributes;
}
