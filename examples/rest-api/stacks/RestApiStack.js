import { CfnOutput, RemovalPolicy, Stack } from "aws-cdk-lib";
import { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { AttributeType, BillingMode, Table } from "aws-cdk-lib/aws-dynamodb";
import { Runtime } from "aws-cdk-lib/aws-lambda";
import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";
import { Topic } from "aws-cdk-lib/aws-sns";
import { LambdaSubscription } from "aws-cdk-lib/aws-sns-subscriptions";

export class RestApiStack extends Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    this.api = new HttpApi(this, "Api");
    this.addNotes();
    this.addOrders();
    new CfnOutput(this, "ApiEndpoint", { value: this.api.apiEndpoint });
  }

  /** Notes are kept in a table. */
  addNotes() {
    const table = new Table(this, "Notes", {
      partitionKey: { name: "id", type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const environment = { TABLE_NAME: table.tableName };

    const list = this.addRoute("GET", "/notes", this.createFunction("List", "src/list.js", environment));
    const get = this.addRoute("GET", "/notes/{id}", this.createFunction("Get", "src/get.js", environment));
    const update = this.addRoute("PUT", "/notes/{id}", this.createFunction("Update", "src/update.js", environment));

    table.grantReadWriteData(list); // it writes the first notes
    table.grantReadData(get);
    table.grantReadWriteData(update);
  }

  /** An order is published to a topic, and two functions do their part of it. */
  addOrders() {
    const topic = new Topic(this, "Orders");

    const order = this.addRoute("POST", "/order", this.createFunction("Order", "src/order.js", { TOPIC_ARN: topic.topicArn }));
    topic.grantPublish(order);

    topic.addSubscription(new LambdaSubscription(this.createFunction("Receipt", "src/receipt.js")));
    topic.addSubscription(new LambdaSubscription(this.createFunction("Shipping", "src/shipping.js")));
  }

  createFunction(id, entry, environment) {
    return new NodejsFunction(this, id, { entry, runtime: Runtime.NODEJS_22_X, environment });
  }

  addRoute(method, path, handler) {
    const integration = new HttpLambdaIntegration(`${handler.node.id}Integration`, handler);
    this.api.addRoutes({ methods: [method], path, integration });
    return handler;
  }
}
